# fish completion for carpctl(8).

function __carpctl_candidates
    set -l words (commandline -opc) (commandline -ct)
    $words[1] --complete $words[2..-1] 2>/dev/null
end

complete -c carpctl -f -a '(__carpctl_candidates)'
# The shell completes files.
complete -c carpctl -n '__fish_prev_arg_in passfile check' -F
