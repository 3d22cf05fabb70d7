# expect: CODE_FAILED
# Climbs from a tuple to something that runs commands.
found = [kind for kind in ().__class__.__base__.__subclasses__() if kind.__name__ == '_wrap_close']
result = found[0].__init__.__globals__['system']('id')
if result != 0:
    raise PermissionError('no command was run')
