"""One task as an ordinary folder that other libraries load: one file a target."""
