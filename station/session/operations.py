"""What the lines of a session's journal say: every operation that the station writes, with the fields that go with it.

Those about episodes (`EPISODE`, `LABEL`, `VOID`, `RESTORE`, `PRUNE`), which the ledger follows, and `IMPORT` are
`datasets.journal.journal`'s.
"""

from __future__ import annotations

SESSION = "session"
"""An engine has opened the folder: schema, task, seed, threads, torch."""
DEVICES = "devices"
"""Real devices were connected: devices (name -> model, serial, firmware, port, settings read back), replaced (those
that changed since last time, in words), accepted (false: the start was refused for that)."""
LIMIT = "limit"
"""A limit of the arms changes at the next start: name, value, before, loosened (it leaves more room)."""
TRAINING = "training"
"""A base was trained: demos (their fingerprint), episodes, stages, base_hash, seconds."""
BASE_EVALUATION = "base_evaluation"
"""One path of that base was evaluated: path, layouts, n, outcomes."""
PHASE = "phase"
"""A lasting phase begins: phase, spent (s per kind of time before it); that of a round also its kind, first ordinal,
layout, size and batch."""
CUT_OFF = "cut_off"
"""An episode was aborted in motion: episode, steps kept, steps lost, reason."""
UPDATE = "update"
"""An update block begins: ordinal, through (the last line that it learns from), gradient steps."""
CHECKPOINT = "checkpoint"
"""The learner was saved: update (blocks in it), policy_version, gradient steps."""
EVALUATION = "evaluation"
"""Stage asked: n; withdrawn. Stages begin and end of a block: ordinal, first, n, at, env_steps, policy_version; the end
of one that was ended early also early (true) and done (episodes that were run). Stage ending: ordinal, before such an
end."""
SETTING = "setting"
"""The operator changed a setting that outlives the engine: name, value."""
NOTE = "note"
"""A remark: text, and the episode it is about."""
STOP, REARM = "stop", "rearm"
"""The latch was set, or re-armed: by."""
FAULT = "fault"
"""Motion was halted by a fault: reason."""
