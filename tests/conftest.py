"""What holds for all tests."""

import signal

# Under nohup, or in the background of a script, these are ignored, and what is ignored stays so in every child.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
