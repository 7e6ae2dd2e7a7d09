module bulwark/bench/load

go 1.26
