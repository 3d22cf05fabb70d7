# expect: SUCCESS
# Opens devices.
result = []
for device in ['/dev/mem', '/dev/kmsg', '/dev/sda', '/dev/vda', '/dev/tty', '/dev/ptmx', '/dev/fuse', '/dev/kvm']:
    try:
        open(device, 'rb').read(1)
        result.append(device)
    except OSError:
        pass
