"""Write the sample sets that ship with candid: `python -m recipes.sample_data DATA OUT`.

Known: test photos of the Grocery Store data set (Klasson et al. 2019, MIT) in the 33 coarse classes that `tiny` was
trained on, grouped by shelf. Shift: the same photos as a cheap camera in bad light would take them. Unknown: products
of 10 classes no image of which was trained on (near), clothing (Fashion-MNIST, MIT) and cells (BBBC038, CC0) (far).
"""

import argparse
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageEnhance, ImageFilter

from recipes.tiny.images import table, unseen_grocery

SEED = 0
GROCERY = {
    "source": "Grocery Store dataset (Klasson, Zhang, Kjellstroem 2019), github marcusklasson/GroceryStoreDataset",
    "licence": "MIT",
}
FASHION = {"source": "Fashion-MNIST (Xiao, Rasul, Vollgraf 2017), Zalando", "licence": "MIT"}
CELLS = {"source": "BBBC038v1, Data Science Bowl 2018 (Caicedo et al. 2019)", "licence": "CC0-1.0"}


def shelf(coarse: int) -> str:
    """The top-level folder of the data set: its coarse classes are numbered fruit, packages, vegetables."""
    return "fruit" if coarse < 19 else "packages" if coarse < 28 else "vegetables"


def bad_camera(data: bytes, random: np.random.Generator) -> bytes:
    """Darker, flatter, slightly out of focus, noisy and compressed hard."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    image = ImageEnhance.Brightness(image).enhance(float(random.uniform(0.65, 0.9)))
    image = ImageEnhance.Contrast(image).enhance(float(random.uniform(0.75, 0.95)))
    image = image.filter(ImageFilter.GaussianBlur(float(random.uniform(0.4, 0.9))))
    noisy = np.asarray(image, np.float32) + random.normal(0, 6, (image.height, image.width, 3))
    out = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).round().astype(np.uint8)).save(out, "JPEG", quality=55)
    return out.getvalue()


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", optimize=True)
    return out.getvalue()


def cut(data: bytes, side: int) -> bytes:
    """A JPEG of the centre of a microscopy image."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    left, top = (image.width - min(image.size)) // 2, (image.height - min(image.size)) // 2
    image = image.crop((left, top, left + min(image.size), top + min(image.size))).resize((side, side))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()


def write(path: Path, images: list[bytes], about: dict[str, str], **columns: list[str]) -> None:
    names = [f"{path.stem}/{i:04d}" for i in range(len(images))]
    rows = pa.table({"id": names, "image": pa.array(images, pa.binary()), **columns})
    rows = rows.replace_schema_metadata({**about, "recipe": "recipes/sample_data.py", "seed": str(SEED)})
    pq.write_table(rows, path, compression="zstd", write_statistics=False)
    print(f"{path.name}: {len(images)} images, {path.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(SEED)

    rows, unseen = table(args.data, "grocery"), unseen_grocery(args.data)
    known = [i for i, s in enumerate(rows["split"]) if s == "test" and rows["coarse_name"][i] not in unseen]
    labels = {"label": [rows["coarse_name"][i] for i in known], "group": [shelf(rows["coarse"][i]) for i in known]}
    write(args.out / "known.parquet", [rows["image"][i] for i in known], GROCERY, **labels)
    write(
        args.out / "shift-bad-camera.parquet", [bad_camera(rows["image"][i], random) for i in known], GROCERY, **labels
    )

    new = [i for i, name in enumerate(rows["coarse_name"]) if name in unseen]
    new = sorted(random.choice(new, 250, replace=False).tolist())
    write(
        args.out / "ood-new-products.parquet",
        [rows["image"][i] for i in new],
        GROCERY,
        label=[rows["coarse_name"][i] for i in new],
    )
    clothes = np.load(args.data / "fashion_mnist.npz")["test_x"]
    chosen = random.choice(len(clothes), 250, replace=False)
    write(args.out / "ood-clothing.parquet", [png(clothes[i]) for i in sorted(chosen)], FASHION)
    cells = table(args.data, "nuclei_dsb2018")["image"]
    write(args.out / "ood-cells.parquet", [cut(image, 72) for image in cells], CELLS)
    (args.out / "classes.json").write_text(json.dumps(sorted(set(labels["label"])), indent=1) + "\n")


if __name__ == "__main__":
    main()
