"""Files in, models out, and back: backbones, checkpoints, adapters of PEFT."""
