"""Types and pure rules of the product. Imports the standard library, msgspec and NumPy; does no I/O, reads no clock."""
