"""What a run looks like: its training curves as a chart, its predictions as pictures."""
