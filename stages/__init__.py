"""The stages of dvc.yaml, one module each. Kernels are fixed here, before a stage loads numpy or torch."""

from text2sql.cpu import fix_kernels

fix_kernels(threads=1)
