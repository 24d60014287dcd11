module vermilion.example/go-channels

go 1.21
