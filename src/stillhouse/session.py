"""What a command is told beside its task: whom to ask and how, where replies are kept, who pays, who watches."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stillhouse.consent import AskedFirst, Bulk, Consent, OneConsent, Quote
from stillhouse.errors import UserError
from stillhouse.records import Progress
from stillhouse.settings import ModelSettings, TeacherSettings
from stillhouse.task import Task, default_store, load_task

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class Session:
    """One sitting at the models. Without a word it is the task's own teacher, settings and store.

    `settings`: keys of [teacher] that hold instead of the task file's; a value of None changes nothing.
    `consent`: asked before a bulk of calls is paid for. A callable that gets the `Quote` and says whether to go on, or
    a `Consent`. None: nobody is asked, and a cap in dollars is the only bound.
    """

    teacher: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    store: Path | str | None = None
    consent: Consent | Callable[[Quote], bool] | None = None
    on_progress: OnProgress | None = None

    def __post_init__(self) -> None:
        for name in self.settings:
            if name not in TeacherSettings.model_fields:
                allowed = ", ".join(TeacherSettings.model_fields)
                raise UserError(f"{name} is no setting of a teacher; allowed are {allowed}")

    @property
    def asks(self) -> Consent | None:
        """Who is asked before a bulk of calls is paid for."""
        return AskedFirst(self.consent) if callable(self.consent) else self.consent

    def before(self, *later: Bulk | None) -> "Session":
        """This session for calls that these follow: one quote tells all of them, and one consent is to all of them."""
        return self if self.asks is None else replace(self, consent=OneConsent(self.asks, [*filter(None, later)]))

    def begins(self, *bulks: Bulk | None) -> None:
        """Say that calls named to `before` come next: they bring a quote of their own."""
        if isinstance(self.consent, OneConsent):
            self.consent.begins(*bulks)

    def open_task(self, task: Path | Task) -> Task:
        """The task as this session asks it: read from its file where a path is given, with the session's settings."""
        loaded = task if isinstance(task, Task) else load_task(task)
        return replace(loaded, teacher=self.over(loaded.teacher))

    def over(self, settings: TeacherSettings) -> TeacherSettings:
        """These settings with the session's own over them."""
        changes = {name: value for name, value in self.settings.items() if value is not None}
        return settings.model_copy(update=changes)

    def teacher_for(self, settings: ModelSettings, whose: Path | str) -> str:
        """The model to ask: the session's, else the one that these settings name.

        Raises UserError where neither names one; `whose` says in the message what lacks a teacher.
        """
        name = self.teacher or settings.model
        if name is None:
            raise UserError(f"{whose}: no teacher is named; set `model` in [teacher], or give --teacher")
        return name

    def store_in(self, folder: Path) -> Path | str:
        """Where paid replies are kept, a file or an address: the session's own place, else the store in this folder."""
        return self.store or default_store(folder)

    def report(
        self,
        done: int,
        total: int | None,
        what: str,
        cost_usd: float | None = None,
        *,
        unit: str = "",
        note: str = "",
    ) -> None:
        """Tell whoever watches how far the work is."""
        if self.on_progress is not None:
            self.on_progress(Progress(done, total, what, cost_usd, unit, note))


DEFAULT_SESSION = Session()
