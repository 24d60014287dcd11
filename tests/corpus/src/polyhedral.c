// Thirty computations over arrays in nested loops, those that the polyhedral compilers' suites are made of: linear algebra,
// solvers, stencils, statistics, dynamic programming. Written anew from their formulas.
//
//     polyhedral <kernel> <repetitions>
//
// Prints a checksum of the results of every repetition. Each starts from the same contents.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N 400
#define STEPS 40
#define CUBE 64

typedef double vector[N];
typedef double matrix[N][N];
typedef double cube[CUBE][CUBE][CUBE];

static matrix a, b, c, d, e;
static vector p, q, r, s, t, x, y, z;
static cube u, v;
static int paths[N][N];

// Rows that dominate on the diagonal: no solver below loses its footing.
static void fill(void) {
  for (int i = 0; i < N; i++) {
    p[i] = (i % 13) / 13.0, q[i] = (i % 7 + 1) / 8.0, r[i] = (i % 11 + 1) / 400.0, s[i] = (N - i) / (2.0 * N);
    t[i] = (i % 5) / 5.0, x[i] = y[i] = z[i] = 0;
    for (int j = 0; j < N; j++) {
      a[i][j] = ((i * j + 1) % N) / (double)N / 4;
      b[i][j] = ((i * (j + 1) + 2) % N) / (double)N;
      c[i][j] = ((i * (j + 3) + 1) % N) / (double)N;
      d[i][j] = (i * (j + 2) % N) / (double)N;
      e[i][j] = 0;
      paths[i][j] = i == j ? 0 : (i * j) % 7 + 1 + ((i + j) % 13 == 0 ? 999 : 0);
    }
    a[i][i] += N;
  }
  for (int i = 0; i < CUBE; i++)
    for (int j = 0; j < CUBE; j++)
      for (int k = 0; k < CUBE; k++) u[i][j][k] = v[i][j][k] = (i + j + (CUBE - k)) * 10.0 / CUBE;
}

static void multiply(matrix out, matrix left, matrix right, double scale) {
  for (int i = 0; i < N; i++)
    for (int k = 0; k < N; k++)
      for (int j = 0; j < N; j++) out[i][j] += scale * left[i][k] * right[k][j];
}

static void gemm(void) { multiply(c, a, b, 1.5); }
static void two_mm(void) { multiply(e, a, b, 1.5), multiply(d, e, c, 1); }
static void three_mm(void) {
  multiply(e, a, b, 1);
  memset(x, 0, sizeof x);
  static matrix product;
  memset(product, 0, sizeof product);
  multiply(product, c, d, 1);
  memset(c, 0, sizeof c);
  multiply(c, e, product, 1);
}

static void atax(void) {
  for (int i = 0; i < N; i++) {
    double sum = 0;
    for (int j = 0; j < N; j++) sum += b[i][j] * p[j];
    for (int j = 0; j < N; j++) y[j] += b[i][j] * sum;
  }
}

static void bicg(void) {
  for (int i = 0; i < N; i++) {
    double sum = 0;
    for (int j = 0; j < N; j++) x[j] += q[i] * b[i][j], sum += b[i][j] * p[j];
    y[i] = sum;
  }
}

static void mvt(void) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) x[i] += b[i][j] * p[j];
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) y[i] += b[j][i] * q[j];
}

static void gemver(void) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) b[i][j] += p[i] * q[j] + r[i] * s[j];
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) x[i] += 1.2 * b[j][i] * t[j];
  for (int i = 0; i < N; i++) x[i] += z[i];
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) y[i] += 1.5 * b[i][j] * x[j];
}

static void gesummv(void) {
  for (int i = 0; i < N; i++) {
    double first = 0, second = 0;
    for (int j = 0; j < N; j++) first += b[i][j] * p[j], second += c[i][j] * p[j];
    y[i] = 1.5 * first + 1.2 * second;
  }
}

static void symm(void) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      double sum = 0;
      for (int k = 0; k < i; k++) c[k][j] += 1.5 * b[i][j] * a[i][k], sum += b[k][j] * a[i][k];
      c[i][j] = 1.2 * c[i][j] + 1.5 * b[i][j] * a[i][i] + 1.5 * sum;
    }
}

static void syrk(void) {
  for (int i = 0; i < N; i++) {
    for (int j = 0; j <= i; j++) c[i][j] *= 1.2;
    for (int k = 0; k < N; k++)
      for (int j = 0; j <= i; j++) c[i][j] += 1.5 * b[i][k] * b[j][k];
  }
}

static void syr2k(void) {
  for (int i = 0; i < N; i++) {
    for (int j = 0; j <= i; j++) c[i][j] *= 1.2;
    for (int k = 0; k < N; k++)
      for (int j = 0; j <= i; j++) c[i][j] += b[j][k] * 1.5 * d[i][k] + d[j][k] * 1.5 * b[i][k];
  }
}

static void trmm(void) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      for (int k = i + 1; k < N; k++) b[i][j] += c[k][i] * b[k][j];
      b[i][j] *= 1.5;
    }
}

static void doitgen(void) {
  for (int i = 0; i < CUBE; i++)
    for (int j = 0; j < CUBE; j++) {
      for (int k = 0; k < CUBE; k++) {
        x[k] = 0;
        for (int l = 0; l < CUBE; l++) x[k] += u[i][j][l] * b[l][k];
      }
      for (int k = 0; k < CUBE; k++) u[i][j][k] = x[k];
    }
}

static void symmetric(void) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < i; j++) a[i][j] = a[j][i];
}

static void cholesky(void) {
  symmetric();
  for (int i = 0; i < N; i++) {
    for (int j = 0; j < i; j++) {
      for (int k = 0; k < j; k++) a[i][j] -= a[i][k] * a[j][k];
      a[i][j] /= a[j][j];
    }
    for (int k = 0; k < i; k++) a[i][i] -= a[i][k] * a[i][k];
    a[i][i] = sqrt(a[i][i]);
  }
}

static void lu(void) {
  for (int i = 0; i < N; i++) {
    for (int j = 0; j < i; j++) {
      for (int k = 0; k < j; k++) a[i][j] -= a[i][k] * a[k][j];
      a[i][j] /= a[j][j];
    }
    for (int j = i; j < N; j++)
      for (int k = 0; k < i; k++) a[i][j] -= a[i][k] * a[k][j];
  }
}

static void ludcmp(void) {
  lu();
  for (int i = 0; i < N; i++) {
    double sum = p[i];
    for (int j = 0; j < i; j++) sum -= a[i][j] * y[j];
    y[i] = sum;
  }
  for (int i = N - 1; i >= 0; i--) {
    double sum = y[i];
    for (int j = i + 1; j < N; j++) sum -= a[i][j] * x[j];
    x[i] = sum / a[i][i];
  }
}

static void trisolv(void) {
  for (int i = 0; i < N; i++) {
    x[i] = p[i];
    for (int j = 0; j < i; j++) x[i] -= a[i][j] * x[j];
    x[i] /= a[i][i];
  }
}

static void durbin(void) {
  double alpha = -r[0], beta = 1;
  y[0] = -r[0];
  for (int k = 1; k < N; k++) {
    beta *= 1 - alpha * alpha;
    double sum = 0;
    for (int i = 0; i < k; i++) sum += r[k - i - 1] * y[i];
    alpha = -(r[k] + sum) / beta;
    for (int i = 0; i < k; i++) z[i] = y[i] + alpha * y[k - i - 1];
    for (int i = 0; i < k; i++) y[i] = z[i];
    y[k] = alpha;
  }
}

static void gram_schmidt(void) {
  for (int k = 0; k < N; k++) {
    double norm = 0;
    for (int i = 0; i < N; i++) norm += a[i][k] * a[i][k];
    e[k][k] = sqrt(norm);
    for (int i = 0; i < N; i++) d[i][k] = a[i][k] / e[k][k];
    for (int j = k + 1; j < N; j++) {
      e[k][j] = 0;
      for (int i = 0; i < N; i++) e[k][j] += d[i][k] * a[i][j];
      for (int i = 0; i < N; i++) a[i][j] -= d[i][k] * e[k][j];
    }
  }
}

static void means(void) {
  for (int j = 0; j < N; j++) {
    x[j] = 0;
    for (int i = 0; i < N; i++) x[j] += b[i][j];
    x[j] /= N;
  }
}

static void products(void) {
  for (int i = 0; i < N; i++)
    for (int j = i; j < N; j++) {
      double sum = 0;
      for (int k = 0; k < N; k++) sum += b[k][i] * b[k][j];
      e[i][j] = e[j][i] = sum / (N - 1);
    }
}

static void covariance(void) {
  means();
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) b[i][j] -= x[j];
  products();
}

static void correlation(void) {
  means();
  for (int j = 0; j < N; j++) {
    y[j] = 0;
    for (int i = 0; i < N; i++) y[j] += (b[i][j] - x[j]) * (b[i][j] - x[j]);
    y[j] = sqrt(y[j] / N);
    if (y[j] <= 0.1) y[j] = 1;
  }
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) b[i][j] = (b[i][j] - x[j]) / (sqrt((double)N) * y[j]);
  products();
}

static void jacobi_1d(void) {
  for (int step = 0; step < STEPS * 20; step++) {
    for (int i = 1; i < N - 1; i++) x[i] = (p[i - 1] + p[i] + p[i + 1]) / 3;
    for (int i = 1; i < N - 1; i++) p[i] = (x[i - 1] + x[i] + x[i + 1]) / 3;
  }
}

static void five_points(matrix out, matrix in) {
  for (int i = 1; i < N - 1; i++)
    for (int j = 1; j < N - 1; j++)
      out[i][j] = 0.2 * (in[i][j] + in[i][j - 1] + in[i][j + 1] + in[i + 1][j] + in[i - 1][j]);
}

static void jacobi_2d(void) {
  for (int step = 0; step < STEPS; step++) five_points(c, b), five_points(b, c);
}

static void seidel_2d(void) {
  for (int step = 0; step < STEPS; step++)
    for (int i = 1; i < N - 1; i++)
      for (int j = 1; j < N - 1; j++) {
        double above = b[i - 1][j - 1] + b[i - 1][j] + b[i - 1][j + 1];
        double below = b[i + 1][j - 1] + b[i + 1][j] + b[i + 1][j + 1];
        b[i][j] = (above + b[i][j - 1] + b[i][j] + b[i][j + 1] + below) / 9;
      }
}

static void heat(cube out, cube in) {
  for (int i = 1; i < CUBE - 1; i++)
    for (int j = 1; j < CUBE - 1; j++)
      for (int k = 1; k < CUBE - 1; k++) {
        double middle = in[i][j][k];
        out[i][j][k] = middle + 0.125 * (in[i + 1][j][k] - 2 * middle + in[i - 1][j][k]) +
                       0.125 * (in[i][j + 1][k] - 2 * middle + in[i][j - 1][k]) +
                       0.125 * (in[i][j][k + 1] - 2 * middle + in[i][j][k - 1]);
      }
}

static void heat_3d(void) {
  for (int step = 0; step < STEPS; step++) heat(v, u), heat(u, v);
}

static void fdtd_2d(void) {
  for (int step = 0; step < STEPS; step++) {
    for (int j = 0; j < N; j++) c[0][j] = step;
    for (int i = 1; i < N; i++)
      for (int j = 0; j < N; j++) c[i][j] -= 0.5 * (d[i][j] - d[i - 1][j]);
    for (int i = 0; i < N; i++)
      for (int j = 1; j < N; j++) b[i][j] -= 0.5 * (d[i][j] - d[i][j - 1]);
    for (int i = 0; i < N - 1; i++)
      for (int j = 0; j < N - 1; j++) d[i][j] -= 0.7 * (b[i][j + 1] - b[i][j] + c[i + 1][j] - c[i][j]);
  }
}

// Alternating directions: a sweep of tridiagonal systems along the columns, then one along the rows.
static void adi(void) {
  const double f = 0.3;
  for (int step = 0; step < STEPS / 4; step++)
    for (int sweep = 0; sweep < 2; sweep++) {
      matrix *from = sweep == 0 ? &b : &e, *to = sweep == 0 ? &e : &b;
      for (int i = 1; i < N - 1; i++) {
        (*to)[0][i] = 1, c[i][0] = 0, d[i][0] = 1;
        for (int j = 1; j < N - 1; j++) {
          double divisor = 1 + 2 * f - f * c[i][j - 1];
          c[i][j] = f / divisor;
          double right = f * (*from)[j][i - 1] + (1 - 2 * f) * (*from)[j][i] + f * (*from)[j][i + 1];
          d[i][j] = (right + f * d[i][j - 1]) / divisor;
        }
        (*to)[N - 1][i] = 1;
        for (int j = N - 2; j >= 1; j--) (*to)[j][i] = c[i][j] * (*to)[j + 1][i] + d[i][j];
      }
    }
}

// A recursive filter for edges, forwards and backwards, along rows and then columns.
static void deriche(void) {
  const double gain = 0.15, first = 1.2, second = -0.36;
  for (int i = 0; i < N; i++) {
    double before = 0, earlier = 0, in = 0;
    for (int j = 0; j < N; j++) {
      c[i][j] = gain * b[i][j] + 0.1 * in + first * before + second * earlier;
      in = b[i][j], earlier = before, before = c[i][j];
    }
    before = earlier = in = 0;
    for (int j = N - 1; j >= 0; j--) {
      double out = 0.12 * in + first * before + second * earlier;
      in = b[i][j], earlier = before, before = out, c[i][j] += out;
    }
  }
  for (int j = 0; j < N; j++) {
    double before = 0, earlier = 0;
    for (int i = 0; i < N; i++) {
      e[i][j] = gain * c[i][j] + first * before + second * earlier;
      earlier = before, before = e[i][j];
    }
  }
}

static void floyd_warshall(void) {
  for (int k = 0; k < N; k++)
    for (int i = 0; i < N; i++)
      for (int j = 0; j < N; j++) {
        int through = paths[i][k] + paths[k][j];
        if (through < paths[i][j]) paths[i][j] = through;
      }
  for (int i = 0; i < N; i++) x[i] = paths[i][(i * 7) % N];
}

static int larger(int left, int right) { return left > right ? left : right; }

// The best folding of a chain of bases, by the lengths of its parts.
static void nussinov(void) {
  memset(paths, 0, sizeof paths);
  for (int i = N - 1; i >= 0; i--)
    for (int j = i + 1; j < N; j++) {
      int best = larger(paths[i][j - 1], i + 1 < N ? paths[i + 1][j] : 0);
      if (i + 1 < N) best = larger(best, paths[i + 1][j - 1] + (i < j - 1 && (i + j) % 4 == 3));
      for (int k = i + 1; k < j; k++) best = larger(best, paths[i][k] + paths[k + 1][j]);
      paths[i][j] = best;
    }
  for (int i = 0; i < N; i++) x[i] = paths[i][N - 1];
}

// `inner`: runs between two fillings, so that what is short is not mostly filling.
static const struct {
  const char *name;
  void (*run)(void);
  int inner;
} kernels[] = {
    {"gemm", gemm, 1}, {"2mm", two_mm, 1}, {"3mm", three_mm, 1}, {"atax", atax, 60}, {"bicg", bicg, 60},
    {"mvt", mvt, 60}, {"gemver", gemver, 60}, {"gesummv", gesummv, 60}, {"symm", symm, 1}, {"syrk", syrk, 1},
    {"syr2k", syr2k, 1}, {"trmm", trmm, 1}, {"doitgen", doitgen, 1}, {"cholesky", cholesky, 1}, {"lu", lu, 1},
    {"ludcmp", ludcmp, 1}, {"trisolv", trisolv, 60}, {"durbin", durbin, 60}, {"gramschmidt", gram_schmidt, 1},
    {"covariance", covariance, 1}, {"correlation", correlation, 1}, {"jacobi-1d", jacobi_1d, 4},
    {"jacobi-2d", jacobi_2d, 1}, {"seidel-2d", seidel_2d, 1}, {"heat-3d", heat_3d, 1}, {"fdtd-2d", fdtd_2d, 1},
    {"adi", adi, 1}, {"deriche", deriche, 20}, {"floyd-warshall", floyd_warshall, 1}, {"nussinov", nussinov, 1},
};

static double checksum(void) {
  double sum = 0;
  for (int i = 0; i < N; i++) {
    sum += x[i] + y[i];
    for (int j = 0; j < N; j++) sum += a[i][j] + b[i][j] + c[i][j] + d[i][j] + e[i][j];
  }
  for (int i = 0; i < CUBE; i++)
    for (int j = 0; j < CUBE; j++) sum += u[i][j][j];
  return sum;
}

int main(int argc, char **argv) {
  if (argc != 3) return fputs("polyhedral: a kernel and a number of repetitions\n", stderr), 2;
  for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
    if (strcmp(kernels[i].name, argv[1]) != 0) continue;
    double sum = 0;
    for (int n = atoi(argv[2]); n > 0; n--) {
      fill();
      for (int inner = 0; inner < kernels[i].inner; inner++) kernels[i].run();
      sum += checksum();
    }
    printf("%s: %.6e\n", argv[1], sum);
    return isfinite(sum) ? 0 : 1;
  }
  return fprintf(stderr, "polyhedral: no kernel %s\n", argv[1]), 2;
}
