# expect: CODE_FAILED
# Makes a device.
import os, stat
os.mknod('/tmp/synapps-hostile-device', 0o600 | stat.S_IFBLK, os.makedev(8, 0))
