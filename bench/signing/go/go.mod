module bulwark/bench/signing

go 1.26
