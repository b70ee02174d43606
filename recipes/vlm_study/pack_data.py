"""Pack the training images into one compact file: `python -m recipes.vlm_study.pack_data DATA FOLDER`."""

import argparse
from pathlib import Path

from recipes.vlm_study.zoo import pools


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    written = pools.pack(args.data, args.folder)
    print(f"{written}: {written.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
