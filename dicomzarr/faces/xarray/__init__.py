"""The xarray engine; the datasets that it gives are those of `dicomzarr.arrays.xarray`."""
