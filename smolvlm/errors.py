"""The errors a user can meet.

Every error raised for something a *user* did is a `SmolVLMError`: its message is one line that says
what was seen, what was wanted and what to do next. The command line prints it without a traceback
and exits with code 2. What the *project* did wrong is an `assert` or an ordinary exception instead.

This module imports nothing from the project, so that everything else may import it.
"""


class SmolVLMError(Exception):
    """Something the user gave, asked for or lacks; the message says what to do about it."""


class InputError(SmolVLMError):
    """A question, a message, an option or a setting that cannot be used."""


class MediaError(InputError):
    """A picture or clip that is missing, broken, too large or not allowed."""


class BrokenShotError(MediaError):
    """One picture of a camera was damaged on its way; the next one may be whole."""


class ContextLengthError(InputError):
    """The prompt (words and visual tokens) does not fit the model's context."""


class CheckpointError(SmolVLMError):
    """A model folder whose config, tokenizer or weights are missing, broken or disagree."""


class UnknownNameError(SmolVLMError):
    """A model, engine, precision or policy that does not exist; the message lists what does."""


class DownloadError(SmolVLMError):
    """A model or package could not be fetched, or may not be fetched in offline mode."""


class CacheError(SmolVLMError):
    """The cache folder cannot be read or written."""


class EngineError(SmolVLMError):
    """An engine that cannot run here: a missing package, device or precision."""
