# expect: CODE_FAILED
# Forks with a terminal.
import pty
pty.fork()
