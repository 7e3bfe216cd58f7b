"""`cst backup` and `cst restore`: the embedded file, copied while services write it, and put back."""
