"""Networks of transformers and timm that lie on this machine: found, checked, loaded, and cut at a layer."""
