"""Insertion and deletion of maps made from scores alone, beside Grad-CAM and gradients."""
