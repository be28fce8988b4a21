"""What runs on a node: sent to its Python as text over ssh, so the standard library from 3.8 on is all there is."""
