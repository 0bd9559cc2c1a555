"""Network architectures, one file each; plain torch, no dependency on bench."""
