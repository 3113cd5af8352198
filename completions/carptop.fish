# fish completion for carptop(8).

complete -c carptop -f
complete -c carptop -l ascii -d 'Use only ASCII characters'
complete -c carptop -l filter -x -a 'master backup init !' -d 'Show only interfaces that match all these words'
complete -c carptop -l help -d 'Print the options'
complete -c carptop -l interval -x -a '0.1 0.5 1 5' -d 'Seconds between readings of the counters'
complete -c carptop -l json -d 'Print everything as JSON and exit'
complete -c carptop -l once -d 'Print one table and exit'
complete -c carptop -l theme -x -a 'auto dark light 16 mono' -d 'Colour scheme'
complete -c carptop -l version -d 'Print the version'
