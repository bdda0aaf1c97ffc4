"""The plug-in for napari (npe2): a reader, a browser, and arrays that never keep the viewer waiting.

``napari.yaml`` declares what there is. A series becomes layers in ``layers``, whose arrays (``arrays``) show what is
there (``screen``) and are shown anew when more has come (``refreshing``).
"""
