# expect: CODE_FAILED
# Renames the machine.
import socket
socket.sethostname('gone')
