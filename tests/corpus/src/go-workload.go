// Go: maps, sorting, strings, a matrix, channels and garbage. go-workload <rounds>
package main

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
)

type node struct {
	left, right *node
	value       int
}

func (n *node) insert(value int) *node {
	if n == nil {
		return &node{value: value}
	}
	if value < n.value {
		n.left = n.left.insert(value)
	} else {
		n.right = n.right.insert(value)
	}
	return n
}

func (n *node) sum() int {
	if n == nil {
		return 0
	}
	return n.value + n.left.sum() + n.right.sum()
}

func round(seed uint32) uint64 {
	digest := uint64(0)
	counts := map[string]int{}
	values := make([]int, 0, 20000)
	var tree *node
	for i := 0; i < 20000; i++ {
		seed = seed*1664525 + 1013904223
		value := int(seed >> 10)
		counts["key "+strconv.Itoa(value%3000)]++
		values = append(values, value)
		tree = tree.insert(value % 100003)
	}
	sort.Ints(values)
	keys := make([]string, 0, len(counts))
	for key := range counts {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, field := range strings.Fields(strings.Join(keys, " ")) {
		digest = digest*31 + uint64(len(field))
	}
	const size = 96
	var a, b, c [size][size]float64
	for i := range a {
		for j := range a[i] {
			a[i][j], b[i][j] = float64((i*j)%7), float64((i+j)%5)
		}
	}
	for i := range a {
		for j := range b {
			for k := range c {
				c[i][j] += a[i][k] * b[k][j]
			}
		}
	}
	results := make(chan int, 4)
	for worker := 0; worker < 4; worker++ {
		go func(worker int) {
			sum := 0
			for i := worker; i < len(values); i += 4 {
				sum += values[i] ^ i
			}
			results <- sum
		}(worker)
	}
	for worker := 0; worker < 4; worker++ {
		digest += uint64(<-results)
	}
	return digest + uint64(c[3][5]) + uint64(tree.sum())
}

func main() {
	rounds, err := strconv.Atoi(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	digest := uint64(0)
	for i := 0; i < rounds; i++ {
		digest = digest*131 + round(uint32(i))
	}
	fmt.Println(rounds, digest)
}
