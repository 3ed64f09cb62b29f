"""`anonymize.py` and `dp2 anonymize`: the options of DeepPrivacy2 and deface in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dp2 import __version__
from dp2.cli.command import GroupedCommand, option
from dp2.config.quality import Quality

_WHAT = "Input and output"
_FIND = "Finding people"
_CHOOSE = "Choosing whom"
_REPLACE = "Replacing them"
_VIDEO = "Video"
_SHOW = "Showing and reporting"
_RUN = "Running"


@click.command(cls=GroupedCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("arguments", nargs=-1, metavar="[CONFIG] [INPUT]... [KEY=VALUE]...")
@option(_WHAT, "-i", "--input-path", "--input_path", "--input", "inputs", multiple=True, metavar="PATH",
        help="Photo, video, folder or stream URL; may be repeated. Paths can also stand alone.")
@option(_WHAT, "-o", "--output-path", "--output_path", "--output", "output", type=click.Path(path_type=Path),
        help="File or folder for the result.  [default: <name>_anonymized.<ext> beside the input]")
@option(_WHAT, "--overwrite", is_flag=True, help="Replace outputs that exist. Inputs are never overwritten.")
@option(_WHAT, "--webcam", is_flag=True, help="Read from the camera, as the input `cam` does.")
@option(_WHAT, "--keep-metadata", "-m", is_flag=True, help="Keep EXIF, XMP, comments and container tags (no thumbnail).")
@option(_WHAT, "--quality", type=Quality(),
        help="Of JPEG, WebP, AVIF, HEIC [default: as the input, else 95]; or how to search: fast, accurate.")
@option(_WHAT, "--max-res", "--max_res", type=click.IntRange(16), metavar="PIXELS",
        help="Scale down so that no side is longer.")
@option(_WHAT, "--max-pixels", type=click.IntRange(1), default=210_000_000, show_default=True,
        help="Refuse larger pictures (decompression bombs).")
@option(_FIND, "--detector", metavar="NAME",
        help="For faces: dsfd, retinaface, retinaface_mobilenet, yunet, centerface, mtcnn.  [default: the config's]")
@option(_FIND, "--detection-score-threshold", "--dst", "--thresh", "threshold", type=click.FloatRange(0, 1),
        help="Detection threshold, for all detectors.")
@option(_FIND, "--scale", "-s", metavar="WxH|FACTOR|auto", help="Size at which frames are searched.")
@option(_FIND, "--track/--no-track", default=None, help="Follow people through a video and fill gaps.  [default: track]")
@option(_FIND, "--cache", is_flag=True, help="Keep detections on disk and use them again.")
@option(_FIND, "--detections", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
        help="Use these (corrected) detections instead of the detector; FILE.jsonl, or COCO's FILE.json.")
@option(_FIND, "--save-detections", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
        help="Write what was acted on, to be corrected and used again; FILE.jsonl, or COCO's FILE.json.")
@option(_CHOOSE, "--keep", multiple=True, type=click.Path(path_type=Path), metavar="PICTURES",
        help="Leave the people shown there as they are: a picture of one person, or a folder of pictures. May be repeated.")
@option(_CHOOSE, "--only", multiple=True, type=click.Path(path_type=Path), metavar="PICTURES",
        help="Change only the people shown there, and whoever is not clear enough to tell.")
@option(_CHOOSE, "--matching", default="mobilefacenet", show_default=True, metavar="NAME",
        help="How faces are compared: mobilefacenet, de_facer or a config file.")
@option(_CHOOSE, "--keep-distance", "distance", type=click.FloatRange(0, 2, min_open=True), metavar="NUMBER",
        help="Up to which two faces are one person's; lower keeps fewer.  [default: that of --matching]")
@option(_CHOOSE, "--exclude", multiple=True, metavar="ZONE",
        help="Leave what lies there as it is: x0,y0,x1,y1 or 'x,y x,y x,y …', pixels or (all up to 1) shares of the frame.")
@option(_CHOOSE, "--include", multiple=True, metavar="ZONE", help="Change only what lies there.")
@option(_CHOOSE, "--always", multiple=True, metavar="ZONE", help="Cover this in every frame, whatever is found.")
@option(_CHOOSE, "--no-faces", is_flag=True, help="Leave faces as they are.")
@option(_CHOOSE, "--no-bodies", is_flag=True, help="Leave bodies as they are.")
@option(_CHOOSE, "--no-vehicles", is_flag=True, help="Leave vehicles as they are.")
@option(_CHOOSE, "--no-plates", is_flag=True, help="Leave number plates as they are.")
@option(_CHOOSE, "--min-size", type=click.FloatRange(min=0), default=0.0, metavar="PIXELS",
        help="Leave what is smaller as it is.")
@option(_REPLACE, "--replacewith", type=click.Choice(["blur", "solid", "none", "img", "mosaic"]),
        help="Classic redaction: what to put over people.")
@option(_REPLACE, "--replaceimg", type=click.Path(exists=True, dir_okay=False), metavar="FILE",
        help="The picture for --replacewith img.")
@option(_REPLACE, "--replace", type=click.Path(exists=True, file_okay=False), metavar="FOLDER",
        help="Lay pictures from this folder over faces, one a person; eyes over eyes where they are known.")
@option(_REPLACE, "--mosaicsize", "--mosaic-size", type=click.IntRange(1), metavar="PIXELS",
        help="Cell size for --replacewith mosaic.  [default: 7x7 cells a face]")
@option(_REPLACE, "--boxes", is_flag=True, help="Replace whole boxes instead of ellipses.")
@option(_REPLACE, "--mask-scale", type=click.FloatRange(min=0.1), metavar="FACTOR",
        help="Size of the replaced shape as a factor of the detection.  [default: 1.3]")
@option(_REPLACE, "--truncation-value", "--truncation_value", "-t", "truncation", type=click.FloatRange(0, 1),
        help="Generators: interpolate the latent towards the average (0 = average).")
@option(_REPLACE, "--multi-modal-truncation", "--mt", is_flag=True,
        help="Generators: truncate towards one of several centres (arXiv 2202.12211).")
@option(
    _REPLACE,
    "--amp/--no-amp",
    default=None,
    help="Half precision: generators, and on a GPU detectors.  [default: generators, where it gains]",
)
@option(_REPLACE, "--person-generator", type=str, metavar="CONFIG", help="Generator of bodies without surface map.")
@option(_REPLACE, "--cse-person-generator", type=str, metavar="CONFIG", help="Generator of bodies with surface map.")
@option(_VIDEO, "--start-time", "--start_time", "--st", "start", type=click.FloatRange(min=0), metavar="SECONDS",
        help="Begin here.")
@option(_VIDEO, "--end-time", "--end_time", "--et", "end", type=click.FloatRange(min=0), metavar="SECONDS", help="End here.")
@option(_VIDEO, "--fps", type=click.FloatRange(min=0, min_open=True), help="Resample to this constant rate.")
@option(_VIDEO, "--keep-audio", "-k", is_flag=True, help="Copy the sound, packet by packet.")
@option(_VIDEO, "--codec", metavar="NAME", help="Video encoder.  [default: H.264; VP9 in WebM]")
@option(_VIDEO, "--crf", type=click.IntRange(0, 63), help="Quality of the encoder, lower is better.")
@option(_VIDEO, "--preset", metavar="NAME", help="Speed of the encoder, e.g. veryfast.")
@option(_VIDEO, "--ffmpeg-config", metavar="JSON", help='As deface takes it, e.g. \'{"codec": "libx264", "crf": 20}\'.')
@option(_VIDEO, "--salvage", is_flag=True, help="Write what was whole of a damaged video.")
@option(_SHOW, "--visualize", "-v", "--preview", "-p", "preview", is_flag=True, help="Show the result in a window.")
@option(_SHOW, "--visualize-detection", "--vd", "detections_only", is_flag=True,
        help="Write the originals with detections drawn; nothing is anonymized.")
@option(_SHOW, "--debug", is_flag=True, help="Folders of frames: write each also with its detections, into OUT/debug.")
@option(_SHOW, "--draw-scores", is_flag=True, help="Draw scores above the replaced regions.")
@option(_SHOW, "--legend", is_flag=True, help="Draw the number of regions and the frame rate.")
@option(_SHOW, "--report-json", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write the summary.")
@option(_RUN, "--seed", type=int, help="Of every random choice.  [default: 0]")
@option(_RUN, "--device", metavar="NAME", help="auto, cpu, cuda, coreml, directml.  [default: auto]")
@option(_RUN, "--engine", "--backend", "engine", metavar="NAME",
        help="auto, openvino, openvino-bf16, openvino-int8, onnxruntime (onnxrt), opencv.  [default: auto]")
@option(_RUN, "--execution-provider", "--ep", "provider", metavar="NAME", help="ONNX Runtime's execution provider.")
@option(_RUN, "--batch-size", type=click.IntRange(1), help="Frames and regions processed together.")
@option(_RUN, "--offline", is_flag=True, help="Never fetch checkpoints, as DP2_OFFLINE=1.")
@click.version_option(__version__, prog_name="dp2")
def anonymize(**options: Any) -> None:
    """Find the people in photos, folders, videos or a camera and make them unrecognisable.

    CONFIG is the name of an anonymizer (see `dp2 configs`) or a config file. Without one faces get new
    faces (face_tiny), or are covered where an option such as --replacewith asks for that (face_blur).
    INPUT is a file, a folder, a stream URL or `cam`. KEY=VALUE changes the config,
    e.g. detector.score_threshold=0.5.

    \b
    anonymize.py photo.jpg
    anonymize.py face_mosaic clip.mp4 -o safe.mp4 --keep-audio
    anonymize.py configs/anonymizers/face_blur.py -i holiday/ -o out/
    """
    from dp2.cli.run import run

    code = run(options)
    if code:
        raise click.exceptions.Exit(code)
