"""A face for voice agents: `Talker` and `TalkStream`, and on them a LiveKit avatar and a Pipecat video service."""
