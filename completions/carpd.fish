# fish completion for carpd(8).

complete -c carpd -f
complete -c carpd -l bus -x -a 'system none unix:path=' -d 'D-Bus to serve org.carpd1 on'
complete -c carpd -l check -F -d 'Check the configuration and exit'
complete -c carpd -l config-dir -x -a '(__fish_complete_directories)' -d 'Directory of rc.conf and sysctl.conf'
complete -c carpd -l foreground -d 'Log to standard error, with times'
complete -c carpd -l help -d 'Print the options'
complete -c carpd -l hooks-dir -x -a '(__fish_complete_directories)' -d 'Directory of hooks for changes of state'
complete -c carpd -l keep -d 'On a stop, leave everything for the next carpd'
complete -c carpd -l log-level -x -a 'error warn info debug trace' -d 'Lowest level to log'
complete -c carpd -l private-socket -r -F -d 'Socket that serves root without a bus'
complete -c carpd -l realtime -d 'Run with this real-time priority'
complete -c carpd -l run-dir -x -a '(__fish_complete_directories)' -d 'Directory of run-time state'
complete -c carpd -l version -d 'Print the version'
