"""The far side of the process boundary: the only package of bench that imports torch."""
