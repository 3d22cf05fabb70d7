# expect: CODE_FAILED
# Speaks to the kernel over netlink.
import socket
socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
