"""What one process takes on at most."""

from __future__ import annotations

from dataclasses import dataclass

from app.streaming.readers import CatchUp


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one process takes on at most. Units as in the names; see the settings of the same names."""

    max_content_bytes: int = 65_536
    max_running_sessions: int = 200
    max_conversations: int = 1000
    max_messages_per_conversation: int = 500
    max_message_chars: int = 67_108_864
    max_conversation_chars: int = 8_000_000
    max_log_entries: int = 20_000
    max_log_bytes: int = 4_194_304
    max_total_log_bytes: int = 536_870_912
    conversation_linger_s: float = 600.0
    pause_timeout_s: float = 3600.0
    input_timeout_s: float = 300.0
    max_queued_messages: int = 10
    runner_restarts: int = 2
    catch_up_batch_bytes: int = 65_536
    catch_up_interval_s: float = 0.25
    unacked_window_bytes: int = 262_144
    slow_client_timeout_s: float = 30.0

    @property
    def catch_up(self) -> CatchUp:
        """How readers that lag are served."""
        return CatchUp(
            self.catch_up_batch_bytes, self.catch_up_interval_s, self.unacked_window_bytes, self.slow_client_timeout_s
        )
