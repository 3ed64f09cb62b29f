"""`python -m dp2.data.faces`: from portraits to the face model, the prepared set and the bank of new people."""

from __future__ import annotations

from pathlib import Path

import click

from dp2.errors import Dp2Error


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Make what new faces are made of."""


@main.command()
@click.argument("portraits", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the set."
)
@click.option("--teacher", type=click.Path(path_type=Path), required=True, help="MediaPipe's face_landmark.tflite.")
@click.option("--matte", default="selfie_segmentation", show_default=True, help="Weights of the matte, name or file.")
@click.option("--learn", is_flag=True, help="Learn the face model anew and replace the shipped one.")
def prepare(portraits: Path, output: Path, teacher: Path, matte: str, learn: bool) -> None:
    """Prepare PORTRAITS (folders portrait512 and generated) for `bank` and for training. Takes minutes."""
    from dp2.data.faces.model import save_model
    from dp2.data.faces.prepare import found_faces, learned_model, write_set
    from dp2.data.faces.teacher import Teacher
    from dp2.detect.people.matte import SelfieMatte
    from dp2.faces.mesh import FILE, read_model

    paths = [path for name in ("portrait512", "generated") for path in sorted((portraits / name).glob("*.webp"))]
    try:
        faces = found_faces(paths, Teacher(teacher), click.echo)
        if learn:
            save_model(learned_model(faces), FILE)
        write_set(faces, read_model(), SelfieMatte(weights=matte), portraits, output)
    except Dp2Error as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{output}: {len(faces)} faces of {len(paths)} portraits")


@main.command()
@click.argument("face_set", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="A .safetensors file."
)
@click.option("--embedding", default="mobilefacenet", show_default=True, help="Weights of MobileFaceNet, name or file.")
@click.option("--count", default=2000, show_default=True, help="People.")
@click.option("--candidates", default=4200, show_default=True, help="People mixed, of which the best are kept.")
@click.option("--seed", default=13, show_default=True)
@click.option("--sheet", type=click.Path(dir_okay=False, path_type=Path), help="A picture of all of them.")
def bank(
    face_set: Path, output: Path, embedding: str, count: int, candidates: int, seed: int, sheet: Path | None
) -> None:
    """Mix new people from a prepared FACE_SET, and keep the best."""
    from safetensors.numpy import save_file

    from dp2.data.faces.face_set import FaceSet
    from dp2.data.faces.make_bank import Wanted, made_bank
    from dp2.data.faces.sheet import write_sheet
    from dp2.faces.embedding import MobileFaceNet
    from dp2.faces.mesh import read_model
    from dp2.sink.atomic import atomic_path

    wanted = Wanted(count=count, candidates=candidates, seed=seed)
    try:
        made = made_bank(FaceSet(face_set), read_model(), MobileFaceNet(weights=embedding), wanted, click.echo)
        with atomic_path(output, overwrite=True) as temporary:
            save_file(made.arrays, str(temporary))
        if sheet is not None:
            write_sheet(made.textures, made.people, read_model(), sheet)
    except Dp2Error as error:
        raise click.ClickException(str(error)) from error
    click.echo(made.report)


if __name__ == "__main__":
    main()
