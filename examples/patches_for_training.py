"""500 patches of tissue at half a micrometre a pixel, in the colours of sRGB, as batches of PyTorch. Needs torch."""

from series import command_line, in_colour, series
from torch.utils.data import DataLoader

from dicomzarr.patches import PatchStream, at_random, tissue_mask

if __name__ == "__main__":
    with series(command_line(__doc__).parse_args().url) as image:
        patches = at_random(in_colour(image), 500, 224, mpp=0.5, mask=tissue_mask(image), partial=True)
        for batch in DataLoader(PatchStream(patches, icc="srgb"), batch_size=64, num_workers=2):
            print(tuple(batch.shape), batch.dtype)
