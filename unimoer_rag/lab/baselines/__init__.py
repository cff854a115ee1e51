"""What people use in place of UniMoER, as systems to be measured: one file a family."""
