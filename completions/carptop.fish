# fish completion for carptop(8).

complete -c carptop -f
complete -c carptop -l ascii -d 'Use no characters but ASCII'
complete -c carptop -l filter -x -a 'master backup init !' -d 'Show only interfaces with all these words'
complete -c carptop -l help -d 'Print the options'
complete -c carptop -l interval -x -a '0.1 0.5 1 5' -d 'How often counters are read, in seconds'
complete -c carptop -l json -d 'Print everything as JSON, and end'
complete -c carptop -l once -d 'Print one table, and end'
complete -c carptop -l theme -x -a 'auto dark light 16 mono' -d 'The colours'
complete -c carptop -l version -d 'Print the version'
