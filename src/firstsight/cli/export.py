from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from firstsight.cli.console import out as console
from firstsight.cli.console import print_json
from firstsight.cli.options import Json
from firstsight.errors import UserError


def export(
    model: Annotated[str, Parameter(help="A model's name (glyphs, faces), a model folder or a run folder.")],
    *,
    onnx: Annotated[Path, Parameter(help="The file to write.")],
    force: Annotated[bool, Parameter(help="Replace a file that is there.")] = False,
    json: Json = False,
) -> int:
    """Write a model as an ONNX file, for programs without PyTorch; onnxruntime must agree with it.

    The file takes pixel values from 0 to 255, prepared as the model does it, and has how in its metadata.

    Example: firstsight export glyphs --onnx glyphs.onnx
    """
    if onnx.exists() and not force:
        raise UserError(f"{onnx} is there already.", hint="Name another file, or replace it: --force")
    from firstsight.models.folder import load_model
    from firstsight.models.onnx_file import INPUT, output_name, write_onnx

    loaded = load_model(model)
    apart = write_onnx(loaded, onnx)
    shape = loaded.config.input_shape
    if json:
        said = {"file": str(onnx), "model": loaded.identity, "input": [INPUT, *shape], "apart": apart}
        print_json({**said, "output": output_name(loaded)})
        return 0
    size = " x ".join(map(str, shape))
    console.print(f"{onnx}: from {INPUT}, batch x {size}, to {output_name(loaded)}.", markup=False)
    console.print(f"onnxruntime agrees with the model within {apart:.0e}.")
    return 0
