fn work(row: u32, lane: u32) {
    var along = 0.0;
    var sum = 0.0;
    for (var part = 0u; part < dims.parts; part++) {
        along += partials[part * dims.rows + row];
        sum += partials[(dims.parts + part) * dims.rows + row];
    }
    scale[row] = along;
    //$
    bias[row] = sum;
    //$
}
