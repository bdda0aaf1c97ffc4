"""Patches of slides for training: where they lie, and data sets of PyTorch that read them batch by batch.

`masks` finds tissue, `positions` places patches, `order` says who reads which when, `reading` reads them; none of
these needs PyTorch, which only `datasets` imports.
"""
