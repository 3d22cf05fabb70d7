# expect: CODE_FAILED
# Kills by descriptor.
import os, signal
signal.pidfd_send_signal(os.pidfd_open(data['pid']), signal.SIGKILL)
