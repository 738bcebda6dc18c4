"""The verbs. Each is imported only when it is called, so that help needs no torch."""

import io
import sys
from collections.abc import Sequence
from typing import Annotated, Any, get_args

from cyclopts import App, CoercionError, CycloptsError, Group, Parameter, Token, convert
from rich.console import Console
from rich.markup import escape

import firstsight
from firstsight.cli.paragraphs import Paragraphs
from firstsight.errors import FirstsightError, UserError

LEARN, RECOGNIZE, RUN = (
    Group.create_ordered("Learn"),
    Group.create_ordered("Recognize"),
    Group.create_ordered("Run"),
)
VERBS = {
    LEARN: {
        "demo": "Train on handwritten digits, then recognize three that were never trained on.",
        "train": "Train a network on identity folders.",
        "predict": "Write the classes or numbers that a model predicts.",
        "stream": "Learn from data as they arrive.",
        "evaluate": "Measure a model on identities it has not seen.",
        "calibrate": "Measure where 'the same' ends, with a promise.",
        "tune": "Find better settings of a recipe by trial and error.",
    },
    RECOGNIZE: {
        "enroll": "Remember a name from one picture.",
        "verify": "Is this picture that name?",
        "identify": "Who or what is this?",
        "forget": "Erase a name for good.",
        "cluster": "Group the faces of many pictures, without names.",
        "gallery": "See who is enrolled, enroll many, back up and move.",
        "ledger": "What was decided, day by day; who drifts away from the enrolled picture.",
    },
    RUN: {
        "serve": "Serve pages to draw on, and an API.",
        "models": "List the models at hand.",
        "export": "Write a model as an ONNX file.",
        "doctor": "Check this machine, and say how to mend what is wrong.",
    },
}
USAGES = {
    "train": "[OPTIONS] [RECIPE]",
    "stream": "[OPTIONS] [RECIPE]",
    "tune": "[OPTIONS] [RECIPE]",
    "identify": "[OPTIONS] PICTURE...",
    "models": "[OPTIONS] [FOLDER]",
}  # what cyclopts would call ARGS
NEXT = """[bold]firstsight[/bold]: recognize at first sight, from one picture.

  firstsight demo                                       see it work, in a minute
  firstsight enroll NAME DRAWING                        remember a drawn symbol, and know it again:
  firstsight identify DRAWING                           the model glyphs comes along
  firstsight train --data PICTURES --out runs/mine      learn from your own pictures
  firstsight enroll NAME PICTURE --model runs/mine      remember one
  firstsight identify PICTURE --model runs/mine         know it again
  firstsight --help                                     all verbs"""


def make_app(called: str = "") -> App:
    """The verbs. `called` is described by its own file; the others, which stay unread, by their summaries."""
    app = App(
        name="firstsight",
        help="Recognize at first sight: train, enroll from ONE picture, know it from then on.",
        version=lambda: firstsight.__version__,
        help_format="plaintext",  # rendering markdown would double the time to the first line of help
        help_formatter=Paragraphs(),
        default_parameter=Parameter(negative=(), show_default=_shown, converter=_exact),
        suppress_keyboard_interrupt=False,  # ours says how to go on
    )
    for group, verbs in VERBS.items():
        for verb, summary in verbs.items():
            described = {} if verb == called else {"help": summary}
            if verb in USAGES:
                described["usage"] = f"Usage: firstsight {verb} {USAGES[verb]}"
            app.command(f"firstsight.cli.{verb}:{verb}", name=verb, group=group, **described)

    @app.default
    def start(*words: Annotated[str, Parameter(show=False)]) -> None:
        if words:
            raise _no_such_verb(words[0])
        Console(soft_wrap=True).print(NEXT, highlight=False)

    return app


def _shown(default: Any) -> str | None:
    """In help. That a flag is off where it is not typed needs no word."""
    return None if default is None or default is False else str(default)


def _exact(hint: Any, tokens: Sequence[Token]) -> Any:
    """As cyclopts converts, which would round 1.5 where a whole number is wanted."""
    wanted = {hint, *get_args(hint)}
    if int in wanted and float not in wanted:
        for token in tokens:
            if "." in token.value:
                raise CoercionError(token=token, target_type=hint)
    return convert(hint, tokens)


def main() -> None:
    """The entry point. Exit code 0 yes, 1 a failure, 2 a user's mistake, 3 an honest no, 130 interrupted."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr does: a file's name may not be UTF-8
    tokens = [token for token in sys.argv[1:] if token != "--debug"]
    debug = len(tokens) < len(sys.argv) - 1
    tokens = _with_pipes(tokens)
    try:
        code = make_app(next(iter(tokens), ""))(
            tokens, exit_on_error=False, print_error=False, result_action="return_value"
        )
    except KeyboardInterrupt as interrupt:
        code = _say("Interrupted.", str(interrupt), 130)
    except (FirstsightError, CycloptsError, OSError) as error:
        if debug:
            raise
        code = _explain(error)
    except Exception as error:
        if debug:
            raise
        code = _say(f"firstsight failed: {type(error).__name__}: {error}", "Add --debug for the details.", 1)
    sys.exit(code or 0)


def _with_pipes(tokens: list[str]) -> list[str]:
    """`--source -` as `--source=-`: cyclopts takes a lone hyphen for a flag."""
    joined: list[str] = []
    for token in tokens:
        if token == "-" and joined and joined[-1].startswith("--") and "=" not in joined[-1]:
            joined[-1] += "=-"
        else:
            joined.append(token)
    return joined


def _no_such_verb(word: str) -> UserError:
    import difflib

    known = [verb for verbs in VERBS.values() for verb in verbs]
    near = difflib.get_close_matches(word, known, n=1)
    return UserError(f"There is no verb {word}.", hint=f"Did you mean {near[0]}?" if near else "See firstsight --help")


def _explain(error: FirstsightError | CycloptsError | OSError) -> int:
    if isinstance(error, FirstsightError):
        return _say(error.message, error.hint, error.exit_code)
    if isinstance(error, CycloptsError):
        from firstsight.cli.mistakes import explain

        return _say(*explain(error), 2)
    return _say(f"{error.filename or 'A file'}: {error.strerror or error}.", "Add --debug for the details.", 1)


def _say(message: str, hint: str, code: int) -> int:
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(f"[red]{escape(message)}[/red]")
    if hint:
        console.print(escape(hint))
    return code
