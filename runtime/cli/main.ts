#!/usr/bin/env node
process.stderr.write("vermilion: not built yet\n");
process.exitCode = 2;
