"""The folder of a tool that writes `<view>_pred.png` beside `<view>_gt.png`."""

from nvs_eval.sources.layouts import Contents, Layout, RenderFiles
from nvs_eval.sources.pictures import Picture


def read(folder, place):
    """Read `<view>_gt.png` and `<view>_pred.png`; return None where there are none."""
    renders = {path.name.removesuffix("_pred.png"): Picture(path) for path in sorted(folder.glob("*_pred.png"))}
    references = {name: Picture(folder / f"{name}_gt.png") for name in renders}
    if not renders or not all(picture.path.is_file() for picture in references.values()):
        return None
    return Contents([RenderFiles(renders, references)], named_after=place)


LAYOUT = Layout("pairs", "<view>_pred.png with <view>_gt.png", read)
