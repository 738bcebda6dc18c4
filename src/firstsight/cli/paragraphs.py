"""Help that fills its lines, however wide the terminal."""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel
    from rich.console import Console, ConsoleOptions


class Paragraphs:
    """The help of cyclopts, with paragraphs as wide as the terminal: its own end where those of the source do."""

    def __call__(self, console: "Console", options: "ConsoleOptions", panel: "HelpPanel") -> None:
        from cyclopts.help import DefaultFormatter

        DefaultFormatter()(console, options, panel)

    def render_usage(self, console: "Console", options: "ConsoleOptions", usage: Any) -> None:
        from cyclopts.help import DefaultFormatter

        DefaultFormatter().render_usage(console, options, usage)

    def render_description(self, console: "Console", _options: "ConsoleOptions", description: Any) -> None:
        from rich.text import Text

        written = str(getattr(description, "primary_renderable", ""))
        console.print(Text(re.sub(r"(?<!\n)\n(?!\n)", " ", written) + "\n"))
