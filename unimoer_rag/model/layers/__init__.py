"""The layers of a routed backbone: experts beside frozen weights, packing, attention."""
