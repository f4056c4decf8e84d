"""The two versions that a daemon reports: its own, and the NSQ release whose behaviour it keeps."""

from typing import Final

VERSION: Final = "0.1.0"
NSQ_VERSION: Final = "1.3.0"
