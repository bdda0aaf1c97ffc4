"""Where series come from: a folder for each kind of source, which is a `SeriesSource` of `dicomzarr.engine.ports`."""
