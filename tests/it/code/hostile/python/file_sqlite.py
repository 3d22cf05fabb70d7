# expect: CODE_FAILED
# Writes a database.
import sqlite3
sqlite3.connect(data['directory'] + '/new.db').execute('create table t (a)')
