# fish completion for carpd(8).

complete -c carpd -f
complete -c carpd -l bus -x -a 'system none unix:path=' -d 'Which D-Bus to serve org.carpd1 on'
complete -c carpd -l check -F -d 'Check the configuration, and do nothing else'
complete -c carpd -l config-dir -x -a '(__fish_complete_directories)' -d 'Where rc.conf and sysctl.conf are'
complete -c carpd -l foreground -d 'Log to standard error, with times'
complete -c carpd -l help -d 'Print the options'
complete -c carpd -l hooks-dir -x -a '(__fish_complete_directories)' -d 'What to run on changes of state'
complete -c carpd -l keep -d 'When told to stop, leave everything for the next carpd'
complete -c carpd -l log-level -x -a 'error warn info debug trace' -d 'How much to log'
complete -c carpd -l private-socket -r -F -d 'The socket that needs no bus'
complete -c carpd -l realtime -d 'Run before everything else'
complete -c carpd -l run-dir -x -a '(__fish_complete_directories)' -d 'Where run-time state is'
complete -c carpd -l version -d 'Print the version'
