# expect: CODE_FAILED
# Connects to a server on the host.
import socket
socket.create_connection(('127.0.0.1', data['port']), 2)
