// Goroutines, channels, a map, the garbage collector and panics out of the unmodified Go compiler. All goroutines of
// a wasip1 program share one WebAssembly stack and Go's own scheduler; both persist.
package main

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
)

type result struct {
	number  int
	factors []int
}

func factorize(number int) (factors []int) {
	for divisor := 2; divisor*divisor <= number; divisor++ {
		for number%divisor == 0 {
			factors = append(factors, divisor)
			number /= divisor
		}
	}
	if number > 1 {
		factors = append(factors, number)
	}
	return factors
}

func recovered(action func()) (message string) {
	defer func() { message = fmt.Sprint(recover()) }()
	action()
	return "no panic"
}

func main() {
	count := 2000
	if len(os.Args) > 1 {
		count, _ = strconv.Atoi(os.Args[1])
	}
	numbers := make(chan int)
	results := make(chan result, 16)
	var workers sync.WaitGroup
	for i := 0; i < 8; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for number := range numbers {
				results <- result{number, factorize(number)}
			}
		}()
	}
	go func() {
		for i := 0; i < count; i++ {
			numbers <- 1000003 + 7*i
		}
		close(numbers)
		workers.Wait()
		close(results)
	}()
	byFactorCount := map[int][]string{}
	for result := range results {
		text := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(result.factors)), " * "), "[]")
		byFactorCount[len(result.factors)] = append(byFactorCount[len(result.factors)], fmt.Sprintf("%d = %s", result.number, text))
	}
	var factorCounts []int
	for factorCount := range byFactorCount {
		factorCounts = append(factorCounts, factorCount)
	}
	sort.Ints(factorCounts)
	for _, factorCount := range factorCounts {
		lines := byFactorCount[factorCount]
		sort.Strings(lines)
		fmt.Printf("%2d prime factors: %4d numbers, first %s\n", factorCount, len(lines), lines[0])
	}
	fmt.Println(recovered(func() { fmt.Println([]int{}[count]) }))
}
