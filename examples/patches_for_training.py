"""500 patches of tissue at half a micrometre a pixel, in the colours of sRGB, as batches of PyTorch. Needs torch."""

import sys

from series import series_url
from torch.utils.data import DataLoader

import dicomzarr
from dicomzarr.patches import PatchStream, at_random, tissue_mask

if __name__ == "__main__":
    with series_url(sys.argv[1] if sys.argv[1:] else None) as url:
        image = dicomzarr.open(url)
        patches = at_random(image, 500, 224, mpp=0.5, mask=tissue_mask(image), partial=True)
        for batch in DataLoader(PatchStream(patches, icc="srgb"), batch_size=64, num_workers=2):
            print(tuple(batch.shape), batch.dtype)
